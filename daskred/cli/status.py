"""Exit statuses."""

ALL_DONE, SOME_FAILED, WRONG_REQUEST, STOPPED, INTERRUPTED, TERMINATED = 0, 1, 2, 3, 130, 143

IN_WORDS = """
exit status:
  0  all done
  1  done, but some frames failed; each is named with the reason
  2  the request itself was wrong, and nothing was written
  3  stopped, as by a full disk; what is done stays, and the same command goes on from there
  130, 143  interrupted; what is done stays, and the same command goes on from there
"""

"""Pictures and pages that a person looks at.

It may import what it draws, and the run. It offers `page.write_report`, the report of a night;
`pictures.picture`, frames side by side, and the curves of a detector; and `demo.run_demo`, for
whoever sees daskred for the first time.
"""

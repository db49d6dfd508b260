"""The only room that touches bytes of FITS files: headers, pixels, writing, packing, storage.

It may import `daskred.model`, `daskred.engine.forking` and, of the kernels, working memory. It
offers `hdus.read_hdus`, `pixels.read_rows`, `write.write_atomically`, `pack.pack` and
`storage`, where bytes come from: this machine, or an address such as ``s3://``.
"""

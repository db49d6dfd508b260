"""Pure numpy: arrays in, arrays out; nothing here knows of files, headers or dask."""

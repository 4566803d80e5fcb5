"""An archive: any folder tree of recordings, each spotted by a job of its own, an index over all.

`tree` finds the recordings, `job` analyses one and writes its folder, `records` tells what is done, `index` joins it.
"""

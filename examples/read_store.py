"""Reads a tile store with h5py and PIL only: python examples/read_store.py tiles/slide.h5 [index]"""
import io, sys
import h5py
from PIL import Image

store = h5py.File(sys.argv[1])
i = int(sys.argv[2]) if len(sys.argv) > 2 else 0
start, stop = store["tiles/offsets"][i:i + 2]
tile = Image.open(io.BytesIO(store["tiles/bytes"][start:stop].tobytes()))
print(f"tile {i} of {len(store['coords'])}: {tile.size[0]} px at {store.attrs['tile_mpp']} um/px, level-0 corner {tuple(store['coords'][i])}")

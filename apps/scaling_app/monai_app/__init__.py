"""THE ADAPTER: the only package that imports monailabel; it wires everything."""

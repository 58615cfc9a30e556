"""
Making an image: geometry, layouts, placing, contents.
"""

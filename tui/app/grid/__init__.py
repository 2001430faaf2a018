"""The grid of photos: where each tile lies, what is drawn in it, and the widget that scrolls over them."""

"""A script full of secrets: it leaks, ends with an exception, and so is its exit status."""

import places

places.init_plain()
places.everything()
places.boom()

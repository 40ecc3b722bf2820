"""Pages, plots, terminal tables and their wording."""

import logging

# before it is imported: it logs when it builds its font cache, or has no home to keep it in
logging.getLogger("matplotlib").setLevel(logging.ERROR)

"""The review web app: one example at a time, by keyboard, for several people at once.

Here: what is served to whom, the pages, and who gets in. Not here: the decision store (../decisions.py), which rows are
drawn and what the decisions prove (../sampling.py, ../acceptance.py), starting a server (cli/review_app.py).
"""

from synth_assets.review.app.desk import Desk
from synth_assets.review.app.pages import AppSettings, create_app
from synth_assets.review.app.work import ReviewWork, WorkSource

__all__ = ["AppSettings", "Desk", "ReviewWork", "WorkSource", "create_app"]

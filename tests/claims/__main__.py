"""``python -m tests.claims`` writes docs/claims.md."""

from tests.claims.page import PAGE, page

PAGE.write_text(page(), encoding="utf-8")
print(PAGE)

"""A visitor of the Detection page: what they do, and what their browser noticed."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field

from playwright.sync_api import Browser, Page, Request, ViewportSize, expect

PHONE: ViewportSize = {"width": 390, "height": 844}
SMALL_PHONE: ViewportSize = {"width": 320, "height": 640}
TABLET: ViewportSize = {"width": 900, "height": 700}
DESKTOP: ViewportSize = {"width": 1440, "height": 900}
DROP = """async ([base64, name, type]) => {
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], name, { type }));
  for (const kind of ["dragover", "drop"])
    document.body.dispatchEvent(new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true }));
}"""


@dataclass
class Visit:
    """One visitor's page. `outside` are requests that left this machine, `errors` what the console complained of."""

    page: Page
    outside: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def drop(self, content: bytes, name: str = "shop.jpg", type_: str = "image/jpeg") -> None:
        self.page.evaluate(DROP, [base64.b64encode(content).decode(), name, type_])

    def reaches(self, *phases: str) -> None:
        selector = ", ".join(f'[data-phase="{phase}"]' for phase in phases)
        expect(self.page.locator(f"#lte-steps :is({selector})")).to_be_visible(timeout=15_000)


def visit(browser: Browser, url: str, size: ViewportSize = DESKTOP, **options: str) -> Visit:
    context = browser.new_context(viewport=size, color_scheme=options.get("color_scheme", "light"))  # type: ignore[arg-type]
    context.grant_permissions(["camera", "clipboard-read", "clipboard-write"], origin=url)
    context.add_init_script("window.fired = 0; window.alert = () => { window.fired += 1; }")
    seen = Visit(context.new_page())

    def note(request: Request) -> None:
        if not request.url.startswith((url, "data:", "blob:")):
            seen.outside.append(request.url)

    seen.page.on("request", note)
    seen.page.on("pageerror", lambda error: seen.errors.append(str(error)))
    seen.page.goto(f"{url}{options.get('path', '/')}")
    expect(seen.page.locator("#lte-pick")).to_be_visible()
    return seen

"""A headless Chromium for tests of pages, and what every page of ours has to keep."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page, sync_playwright
from werkzeug.serving import make_server

CHROMIUM = shutil.which("chromium")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Yield a browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def served(app: Flask, port: int = 0) -> Iterator[str]:
    """Serve an application, on a free port if none is named, and yield its address."""
    server = make_server("127.0.0.1", port, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Watch:
    """Collects what a page must not do: errors in the console, requests to elsewhere, dialogs."""

    def __init__(self, page: Page, home: str) -> None:
        self.faults: list[str] = []
        page.on("console", lambda message: self.faults.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        page.on("dialog", lambda dialog: self.faults.append("dialog"))
        page.on("request", lambda request: self._request(request.url, home))

    def _request(self, url: str, home: str) -> None:
        if urlsplit(url).netloc != urlsplit(home).netloc:
            self.faults.append(f"request: {url}")


def unnamed_controls(page: Page) -> list[str]:
    """Return links, buttons and fields that a screen reader could not name, and images alike."""
    found: list[str] = page.evaluate(
        """() => {
          const named = element => (element.getAttribute('aria-label') || element.textContent
            || element.labels?.[0]?.textContent || element.alt || '').trim();
          const all = document.querySelectorAll(
            'a, button, summary, select, input:not([type=hidden]), svg[role=img], img');
          return [...all].filter(element => !named(element)).map(element => element.outerHTML);
        }"""
    )
    return found


def low_contrast(page: Page) -> list[str]:
    """Return texts whose contrast with their background is below 4.5 to 1 (WCAG AA)."""
    found: list[str] = page.evaluate(
        """() => {
          const parse = text => (text.match(/[\\d.]+/g) || []).map(Number);
          const lum = ([r, g, b]) => [r, g, b].map(v => v / 255)
            .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
            .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
          const over = (top, under) => {
            const a = top.length > 3 ? top[3] : 1;
            return [0, 1, 2].map(i => a * top[i] + (1 - a) * under[i]);
          };
          const ground = element => {
            const layers = [];
            for (let e = element; e; e = e.parentElement)
              layers.push(parse(getComputedStyle(e).backgroundColor));
            return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255]);
          };
          const bad = [];
          for (const element of document.querySelectorAll('body *')) {
            if (element.closest('svg, .unseen') || !element.checkVisibility()) continue;
            const own = [...element.childNodes].some(n => n.nodeType === 3 && n.data.trim());
            if (!own) continue;
            const under = ground(element);
            const a = lum(over(parse(getComputedStyle(element).color), under)), b = lum(under);
            const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            if (ratio < 4.5) bad.push(ratio.toFixed(2) + ' ' + element.outerHTML.slice(0, 90));
          }
          return bad;
        }"""
    )
    return found

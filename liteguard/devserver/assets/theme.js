// Runs before anything is painted, so that the page never flashes in the other theme.
"use strict";

window.liteguardTheme = {
  /** Return what was chosen: "light", "dark", or "system". */
  chosen() {
    try {
      return localStorage.getItem("liteguard-theme") || "system";
    } catch {
      return "system"; // storage may be forbidden
    }
  },

  /** Choose a theme and remember it. */
  choose(theme) {
    try {
      localStorage.setItem("liteguard-theme", theme);
    } catch {
      // It then holds until the page is loaded again.
    }
    this.apply(theme);
  },

  /** Show a theme. */
  apply(theme) {
    document.documentElement.dataset.theme = theme;
    window.dispatchEvent(new Event("liteguard-theme"));
  },
};
window.liteguardTheme.apply(window.liteguardTheme.chosen());

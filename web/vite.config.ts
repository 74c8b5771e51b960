import { defineConfig } from "vite";
import { thirdPartyNotices } from "./notices.js";

export default defineConfig({
  plugins: [thirdPartyNotices()],
  // The program embeds this folder; a test compares it with a new build.
  build: {
    outDir: "dist",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: "es2022",
    // Browsers of 2024: light-dark() and the highlights of a search need them.
    cssTarget: ["chrome123", "firefox120", "safari17.5"],
  },
});

// Every figure of the page comes to life; the console and the tests reach what is inside.
const begin = () => { for (const root of document.querySelectorAll("figure[data-widget]")) new Figure(root); };
if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
else begin();
globalThis.rlscratch = {formulas, widgets};

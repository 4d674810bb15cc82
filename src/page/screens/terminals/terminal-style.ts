/**
 * The element that xterm.js gets instead of `<style>` (vite.config.ts): its text is a constructed
 * style sheet, which the policy of the page allows.
 */
class TerminalStyle extends HTMLElement {
  readonly #sheet = new CSSStyleSheet();
  #css = '';

  override get textContent(): string {
    return this.#css;
  }

  override set textContent(css: string) {
    this.#css = css;
    this.#sheet.replaceSync(css);
  }

  connectedCallback(): void {
    document.adoptedStyleSheets = [...document.adoptedStyleSheets, this.#sheet];
  }

  disconnectedCallback(): void {
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((sheet) => sheet !== this.#sheet);
  }
}

if (customElements.get('terminal-style') === undefined)
  customElements.define('terminal-style', TerminalStyle);

/**
 * As much of a browser as components of the page need to render, to take keys and to keep the
 * focus: no layout, no styles, no selectors. Import it before them.
 */
import { type ComponentChildren, render } from 'preact';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import type { Me } from '../../src/protocol/key.ts';
import { eventually } from './eventually.ts';

type Listener = (event: FakeEvent) => void;

class Listeners {
  readonly #all = new Map<string, Set<Listener>>();
  addEventListener(type: string, listener: Listener): void {
    this.#all.set(type, (this.#all.get(type) ?? new Set()).add(listener));
  }
  removeEventListener(type: string, listener: Listener): void {
    this.#all.get(type)?.delete(listener);
  }
  get count(): number {
    return [...this.#all.values()].reduce((sum, { size }) => sum + size, 0);
  }
  hear(event: FakeEvent): void {
    for (const listener of [...(this.#all.get(event.type) ?? [])]) listener.call(this, event);
  }
}

class FakeEvent {
  defaultPrevented = false;
  currentTarget: unknown = null;
  readonly type: string;
  readonly target: FakeElement | null;
  readonly key: string;
  constructor(type: string, target: FakeElement | null = null, key = '') {
    this.type = type;
    this.target = target;
    this.key = key;
  }
  preventDefault(): void {
    this.defaultPrevented = true;
  }
}

/** An element, or a text: then `data` is its own. */
export class FakeElement extends Listeners {
  readonly localName: string;
  readonly nodeType: number;
  readonly namespaceURI = 'http://www.w3.org/1999/xhtml';
  readonly tagName: string;
  readonly style: Record<string, string> = {};
  readonly given = new Map<string, unknown>();
  readonly childNodes: FakeElement[] = [];
  parentNode: FakeElement | null = null;
  data = '';
  value = '';

  constructor(localName: string) {
    super();
    this.localName = localName;
    this.nodeType = localName === '#text' ? 3 : 1;
    this.tagName = localName.toUpperCase();
  }
  get firstChild(): FakeElement | null {
    return this.childNodes[0] ?? null;
  }
  get nextSibling(): FakeElement | null {
    const all = this.parentNode?.childNodes ?? [];
    return all[all.indexOf(this) + 1] ?? null;
  }
  get textContent(): string {
    return this.data + this.childNodes.map((child) => child.textContent).join('');
  }
  insertBefore(child: FakeElement, before: FakeElement | null): void {
    child.leave();
    const at = before === null ? this.childNodes.length : this.childNodes.indexOf(before);
    this.childNodes.splice(at, 0, child);
    child.parentNode = this;
  }
  leave(): void {
    const all = this.parentNode?.childNodes ?? [];
    if (all.includes(this)) all.splice(all.indexOf(this), 1);
    this.parentNode = null;
  }
  remove(): void {
    if (this.contains(fake.activeElement)) fake.activeElement = fake.body;
    this.leave();
  }
  contains(other: FakeElement | null): boolean {
    return other === this || this.childNodes.some((child) => child.contains(other));
  }
  setAttribute(name: string, value: unknown): void {
    this.given.set(name, value);
  }
  removeAttribute(name: string): void {
    this.given.delete(name);
  }
  closest(): null {
    return null;
  }
  querySelector(): null {
    return null;
  }
  focus(): void {
    fake.activeElement = this;
    this.send('focusin');
  }
  scrollIntoView(): void {}
  hidePopover(): void {}
  showPopover(): void {}
  showModal(): void {}

  /** An event here, then around it, then at the window. */
  send(type: string, key = ''): void {
    const event = new FakeEvent(type, this, key);
    const path: Listeners[] = [];
    for (let at: FakeElement | null = this; at !== null; at = at.parentNode) path.push(at);
    for (const one of [...path, fake.window]) {
      event.currentTarget = one;
      one.hear(event);
    }
  }
  /** What is below and has this name. */
  all(localName: string): readonly FakeElement[] {
    return this.childNodes.flatMap((child) => [
      ...(child.localName === localName ? [child] : []),
      ...child.all(localName),
    ]);
  }
  /** The first of this name whose text or label is this. */
  find(localName: string, text: string): FakeElement {
    const found = this.all(localName).find(
      (one) => one.textContent === text || one.given.get('aria-label') === text,
    );
    return found ?? expect.unreachable(`there is no ${localName} ${text}`);
  }
  write(text: string): void {
    this.value = text;
    this.send('input');
  }
}

class FakeStorage extends Map<string, string> {
  getItem(key: string): string | null {
    return this.get(key) ?? null;
  }
  setItem(key: string, value: string): void {
    this.set(key, value);
  }
  removeItem(key: string): void {
    this.delete(key);
  }
}

const ORIGIN = 'http://bullpen.invalid';
const went: string[] = [];
const body = new FakeElement('body');
const fake = { body, activeElement: body, window: new Listeners() };
const elementOf = (name: string): FakeElement => new FakeElement(name);
const sessionStorage = new FakeStorage();
const GLOBALS: Readonly<Record<string, unknown>> = {
  sessionStorage,
  localStorage: new FakeStorage(),
  HTMLElement: FakeElement,
  Element: FakeElement,
  addEventListener: fake.window.addEventListener.bind(fake.window),
  removeEventListener: fake.window.removeEventListener.bind(fake.window),
  dispatchEvent: (event: Event) => fake.window.hear(new FakeEvent(event.type)),
  requestAnimationFrame: (act: () => void) => setTimeout(act),
  cancelAnimationFrame: clearTimeout,
  matchMedia: () => ({ matches: true }),
  scrollTo() {},
  location: {
    ...{ origin: ORIGIN, href: `${ORIGIN}/`, pathname: '/', search: '' },
    assign: (to: string) => void went.push(to),
    reload: () => void went.push('again'),
  },
  history: { pushState() {}, replaceState() {} },
  document: {
    ...{ body, documentElement: body, visibilityState: 'visible' },
    createElementNS: (_space: string, name: string) => elementOf(name),
    createTextNode: (data: string) => Object.assign(elementOf('#text'), { data }),
    addEventListener: fake.window.addEventListener.bind(fake.window),
    removeEventListener: fake.window.removeEventListener.bind(fake.window),
    querySelector: () => null,
    get activeElement() {
      return fake.activeElement;
    },
  },
  fetch: ask,
};
const before = new Map<string, PropertyDescriptor | undefined>();

function install(): void {
  if (before.size > 0) return;
  for (const [name, value] of Object.entries(GLOBALS)) {
    before.set(name, Object.getOwnPropertyDescriptor(globalThis, name));
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  }
}
async function uninstall(): Promise<void> {
  // What was planned for a frame plans its end for the next one.
  for (let frame = 0; frame < 3; frame += 1) await new Promise(requestAnimationFrame);
  for (const [name, was] of before) {
    if (was === undefined) Reflect.deleteProperty(globalThis, name);
    else Object.defineProperty(globalThis, name, was);
  }
  before.clear();
}
install(); // the modules of the page read the address when they are loaded

/** What the page asks of the server. */
export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly body: unknown;
  readonly idempotencyKey: string | null;
}
/** A status alone is an error of the server; anything else is the body of its answer. */
export type Answer = (asked: Asked) => unknown;

let answer: Answer = () => 404;
let caller: Me;
const asked: Asked[] = [];

async function ask(url: URL | string, { method = 'GET', body, headers }: RequestInit): Promise<Response> {
  const one: Asked = {
    ...{ method, path: new URL(url, ORIGIN).pathname },
    body: typeof body === 'string' ? JSON.parse(body) : null,
    idempotencyKey: new Headers(headers).get('idempotency-key'),
  };
  asked.push(one);
  const given = one.path === '/v1/me' ? caller : await answer(one);
  return typeof given === 'number' ? Response.json({}, { status: given }) : Response.json(given);
}

export const callerWith = (...scopes: Me['scopes']): Me => ({
  ...{ principal: 'key:one', project: 'default', scopes, expiresAt: null },
  ...{ providers: null, roots: null, tools: null, permissionModes: null },
  ...{ requestsPerMinute: null, jobsPerHour: null, maxQueued: null, maxRunning: null, usdPerDay: null },
});

/** A page for each test of the file that calls this. */
export function usePage() {
  beforeAll(install);
  afterEach(async () => {
    render(null, body as never); // as: what preact needs of one is there
    await eventually(() => fake.window.count === 0); // components give up later what they hold
    asked.length = 0;
    went.length = 0;
    sessionStorage.clear();
    answer = () => 404;
  });
  afterAll(uninstall);
  return {
    body,
    asked,
    /** Other documents that the page has opened; `again`: its own, once more. */
    went,
    focused: (): FakeElement => fake.activeElement,
    press: (key: string): void => fake.activeElement.send('keydown', key),
    /** Takes away what is shown: another screen, or a reload. */
    leave: (): void => render(null, body as never), // as: above
    /** Another login takes the place of the page's. */
    become(me: Me): void {
      caller = me;
    },
    async show(what: ComponentChildren, by: Answer = () => 404, me = callerWith('admin')): Promise<void> {
      answer = by;
      caller = me;
      const { identify } = await import('../../src/page/server.ts');
      await identify();
      render(what, body as never); // as: above
      await eventually(() => body.childNodes.length > 0);
    },
  };
}

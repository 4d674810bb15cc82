/** What was chosen in a dialog the last time, in this browser. */
export type Choice = Readonly<Record<string, string>>;

const keyOf = (dialog: string): string => `bullpen.new.${dialog}`;

export function rememberedChoice(dialog: 'chat' | 'terminal'): Choice {
  try {
    const stored: unknown = JSON.parse(localStorage.getItem(keyOf(dialog)) ?? '{}');
    if (typeof stored !== 'object' || stored === null) return {};
    return Object.fromEntries(Object.entries(stored).filter(([, value]) => typeof value === 'string'));
  } catch {
    return {}; // storage is switched off, or has something else
  }
}

export function rememberChoice(dialog: 'chat' | 'terminal', choice: Choice): void {
  try {
    localStorage.setItem(keyOf(dialog), JSON.stringify(choice));
  } catch {} // the next dialog begins empty
}

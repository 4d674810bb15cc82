/** The examples of docs/live.md: its blocks of JSON, in order. */
export interface LiveExample {
  readonly message: Readonly<Record<string, unknown>>;
  /** The server sends it: it has a timestamp. */
  readonly isAnswer: boolean;
}

export const examplesOf = (page: string): LiveExample[] =>
  [...page.matchAll(/```json\n([\s\S]*?)```/g)].map(([, text = '']) => {
    const message: LiveExample['message'] = JSON.parse(text);
    return { message, isAnswer: 'timestamp' in message };
  });

/** Reads an answer piece by piece. */
export function readStream(response: Response) {
  if (response.body === null) throw new Error(`no body, status ${response.status}`);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let said = '';
  const next = async (): Promise<boolean> => {
    const { done, value } = await reader.read();
    said += value ?? '';
    return !done;
  };
  return {
    /** Reads until the text includes this. */
    async until(text: string): Promise<string> {
      while (!said.includes(text)) if (!(await next())) throw new Error(`ended without ${text}: ${said}`);
      return said;
    },
    /** Reads to the end. */
    async all(): Promise<string> {
      while (await next());
      return said;
    },
    leave: () => reader.cancel(),
  };
}

export interface Frame {
  readonly event: string;
  readonly id: number;
  readonly data: Record<string, unknown>;
}

/** The events in a text of server-sent events; comments and `retry` left out. */
export const framesIn = (text: string): Frame[] =>
  text.split('\n\n').flatMap((frame) => {
    const fields = Object.fromEntries(frame.split('\n').map((line) => line.split(/: (.*)/s, 2)));
    if (fields['data'] === undefined) return [];
    return [{ event: fields['event'], id: Number(fields['id']), data: JSON.parse(fields['data']) }];
  });

// A program that asks the vendor's Agent SDK, and does nothing else. Each message has an `id`,
// which the answer repeats:
// {way, module, options} starts a process ahead with `startup` or `prewarm`; answers when it waits.
// {way, prompt, cwd} gives it a prompt; out: {text, firstMs, endMs}, milliseconds from the call to
// the first piece of text and to the result.

/** @type {Map<string, any>} */
const ahead = new Map();

/** @param {any} wanted */
async function answerTo({ way, module, options, prompt, cwd }) {
  if (module !== undefined) {
    const sdk = await import(module);
    ahead.set(way, await sdk[way]({ options }));
    return {};
  }
  const process = ahead.get(way);
  const startedAt = performance.now();
  const query = way === 'startup' ? process.query(prompt) : process.claim({ prompt, options: { cwd } });
  /** @type {number | null} */
  let firstMs = null;
  for await (const message of query) {
    const since = performance.now() - startedAt;
    if (message.type === 'stream_event' && message.event.delta?.type === 'text_delta') firstMs ??= since;
    if (message.type === 'result') return { text: message.result, firstMs, endMs: since };
  }
  throw new Error('the query ended without a result');
}

process.on('message', (/** @type {any} */ wanted) => {
  answerTo(wanted).then(
    (answer) => process.send?.({ ...answer, id: wanted.id }),
    (error) => process.send?.({ id: wanted.id, failed: String(error) }),
  );
});
process.on('disconnect', () => process.exit());

/** A scripted day of a small team: the prompts, and what the CLI does for each. */
import type { Step } from '../../tests/fakes/fake-cli-steps.ts';

export interface Scene {
  readonly prompt: string;
  readonly tags: readonly string[];
  readonly steps: readonly Step[];
  /** More fields of the request. */
  readonly request?: Readonly<Record<string, unknown>>;
}

export const MODEL = 'claude-sonnet-5-5';

function cost(costUSD: number, inputTokens: number, outputTokens: number): Step {
  const cache = { cacheReadInputTokens: inputTokens * 6, cacheCreationInputTokens: 900 };
  const used = { [MODEL]: { inputTokens, outputTokens, ...cache, webSearchRequests: 0, costUSD } };
  return {
    result: { total_cost_usd: costUSD, modelUsage: used, model_usage_since_last_result: used },
  };
}
const bash = (command: string, output: string, isError = false): Step => ({
  tool: { name: 'Bash', input: { command }, output, isError },
});
const say = (text: string): Step => ({ delta: text });

const RETRY_BEFORE = `async function send(order: Order) {
  const response = await post('/orders', order);
  return response.json();
}`;
const RETRY_AFTER = `async function send(order: Order) {
  for (const waitMs of [200, 1000, 5000]) {
    const response = await post('/orders', order);
    if (response.status !== 503) return response.json();
    await delay(waitMs);
  }
  throw new Error('the shop does not answer');
}`;

/** The one that is shown from within. */
export const SHOWN: Scene = {
  prompt: 'Orders are lost when the shop answers 503. Find out where, and fix it.',
  tags: ['orders', 'bug'],
  steps: [
    say('I will look at how orders are sent, and at what the tests say.\n\n'),
    bash(
      'rg -n "post\\(" src',
      'src/orders/send.ts\n12:  const response = await post("/orders", order);\n\nsrc/invoices/send.ts\n8:  await post("/invoices", invoice);',
    ),
    { tool: { name: 'Read', input: { file_path: '/srv/shop/src/orders/send.ts' }, output: RETRY_BEFORE } },
    say(
      '`send` never looks at the status. A 503 has no order in its body, so the order is dropped without a word.\n\n',
    ),
    {
      tool: {
        name: 'Edit',
        input: {
          file_path: '/srv/shop/src/orders/send.ts',
          old_string: RETRY_BEFORE,
          new_string: RETRY_AFTER,
        },
        output: 'The file has been updated.',
      },
    },
    bash(
      'npm test -- orders',
      '\u001b[32m✓\u001b[0m sends an order (12 ms)\n\u001b[32m✓\u001b[0m tries again after a 503 (231 ms)\n\n\u001b[1mTests\u001b[0m  \u001b[32m2 passed\u001b[0m (2)',
    ),
    say(
      '**Fixed.** Orders are sent again after a 503, three times, and then fail with an error.\n\n- `src/orders/send.ts`: tries again after 0.2, 1 and 5 seconds\n- `tests/orders.test.ts`: a shop that answers 503 once\n\nInvoices have the same fault in `src/invoices/send.ts`. Shall I fix it too?\n',
    ),
    cost(0.1842, 18_400, 2_310),
  ],
};

const done = (prompt: string, tags: readonly string[], answer: string, usd: number): Scene => ({
  prompt,
  tags,
  steps: [
    bash('git log --oneline -5', 'a1f3c09 fix: dates'),
    say(answer),
    cost(usd, usd * 90_000, usd * 9000),
  ],
});
const failing = (prompt: string, tags: readonly string[], message: string): Scene => ({
  prompt,
  tags,
  steps: [
    say('I begin.'),
    { result: { is_error: true, subtype: 'error_during_execution', result: message, errors: [message] } },
  ],
});
const asking = (prompt: string, tags: readonly string[], name: string, input: unknown): Scene => ({
  prompt,
  tags,
  steps: [say('The change is ready.'), { tool: { name, input, asks: true } }],
  request: { onPermissionDenied: 'ask' },
});
const running = (prompt: string, tags: readonly string[]): Scene => ({
  prompt,
  tags,
  steps: [say('I read the code first.\n\n'), bash('rg -c TODO src', 'src/cart.ts:4'), { hang: true }],
});

export const ENDED: readonly Scene[] = [
  done('Update the dependencies, one commit each', ['chore'], 'Eleven updates, all tests pass.', 0.42),
  done('Write the release notes of 2.4 from the commits', ['docs', 'release'], 'Written.', 0.06),
  done('Why does the nightly import take 40 minutes?', ['import', 'night'], 'An index is missing.', 0.31),
  done('Translate the error messages into German', ['i18n'], '74 messages translated.', 0.22),
  failing(
    'Move the sessions from memory to Redis',
    ['sessions'],
    'The model could not finish: context too long.',
  ),
  done(
    'Explain the retry rules of the payment service',
    ['payments', 'docs'],
    'Explained in docs/retry.md.',
    0.11,
  ),
  done('Add an index for the search by customer', ['search'], 'Added. The query takes 3 ms.', 0.09),
  failing('Port the report to the new API', ['reports'], 'Tests of the report fail.'),
  done('Remove the feature flag newCheckout', ['chore'], 'Removed in 14 files.', 0.17),
];
export const ASKING: readonly Scene[] = [
  asking('Fix the flaky login test, then push', ['tests'], 'Bash', {
    command: 'git push origin fix/login-test',
  }),
  asking('Rename customerId to accountId everywhere', ['refactoring'], 'Edit', {
    ...{ file_path: '/srv/shop/src/accounts.ts', old_string: 'customerId: string;' },
    new_string: 'accountId: string;',
  }),
];
export const RUNNING: readonly Scene[] = [
  running('Find what makes the cart slow on phones', ['cart', 'performance']),
  running('Add types to the old import scripts', ['import']),
];
/** They wait for the end of others. */
export const WAITING: readonly Scene[] = [
  done('Check every SQL query for injection', ['security', 'night'], '', 0.1),
  done('Write tests for the tax rules of 2027', ['tests', 'night'], '', 0.1),
];
/** One batch: a prompt for each customer. */
export const BATCH: readonly Scene[] = Array.from({ length: 24 }, (_, index) =>
  done(`Summarise the tickets of customer ${1001 + index}`, ['tickets'], 'Three tickets, none urgent.', 0.02),
);

export const SCENES: readonly Scene[] = [SHOWN, ...ENDED, ...ASKING, ...RUNNING, ...WAITING, ...BATCH];

/** Attacks on the signatures of the executor's door (sM1 to sM6 of the list of faults). */
import { createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { AppError } from '../../../src/errors.ts';
import { eventually } from '../../helpers/eventually.ts';
import { dial, parseAnswer, rawRequest, untilClosed } from '../http/raw-socket.ts';
import { aSubmission, ID, OLD_SECRET, originalHeaders, SECRET, startDoor } from './door-harness.ts';

type Headers = Record<string, string>;
const SIGNATURE = 'x-claude-signature';
const TIMESTAMP = 'x-claude-timestamp';
const NONCE = 'x-claude-nonce';

const hex = (text: string, secret = SECRET) => createHmac('sha256', secret).update(text).digest('hex');
const of = (headers: Headers, name: string): string => headers[name] ?? '';
const without = (name: string) => (headers: Headers) => {
  const { [name]: _, ...others } = headers;
  return others;
};

describe('sM1: a signature that is not the right one', () => {
  const changes: Record<string, [code: string, change: (headers: Headers) => Record<string, unknown>]> = {
    'is missing': ['signature.missing', without(SIGNATURE)],
    'has no timestamp': ['signature.missing', without(TIMESTAMP)],
    'has no nonce': ['signature.missing', without(NONCE)],
    'is wrong': ['signature.invalid', (headers) => ({ ...headers, [SIGNATURE]: hex('other') })],
    'is empty': ['signature.invalid', (headers) => ({ ...headers, [SIGNATURE]: '' })],
    'is cut': [
      'signature.invalid',
      (headers) => ({ ...headers, [SIGNATURE]: of(headers, SIGNATURE).slice(0, 32) }),
    ],
    'is not hex': ['signature.invalid', (headers) => ({ ...headers, [SIGNATURE]: 'z'.repeat(64) })],
    'is in upper case': [
      'signature.invalid',
      (headers) => ({ ...headers, [SIGNATURE]: of(headers, SIGNATURE).toUpperCase() }),
    ],
    'is a list': [
      'signature.invalid',
      (headers) => ({ ...headers, [SIGNATURE]: [of(headers, SIGNATURE), of(headers, SIGNATURE)] }),
    ],
    'is a list of values in one header': [
      'signature.invalid',
      (headers) => ({ ...headers, [SIGNATURE]: `${hex('a')}, ${of(headers, SIGNATURE)}` }),
    ],
  };

  it.each(Object.entries(changes))('%s: 401', async (_what, [code, change]) => {
    await using door = await startDoor();
    const refused = await door.send('POST', '/v1/executions', aSubmission(), change);
    expect([refused.statusCode, refused.json().code]).toEqual([401, code]);
    expect(door.executions.submissions).toEqual([]);
    // Only valid signatures are remembered.
    expect(door.used.size).toBe(0);
  });

  it('two headers of the same name on the wire: 401, whichever comes first', async () => {
    await using door = await startDoor();
    const url = await door.listen();
    const body = '{"prompt":"Hello"}';
    const { [SIGNATURE]: right = '', [TIMESTAMP]: at = '' } = originalHeaders(body);
    for (const pair of [
      [right, hex('x')],
      [hex('x'), right],
      [right, right],
    ]) {
      const answer = await rawRequest(
        url,
        [
          ...['POST /execute HTTP/1.1', 'Host: localhost', 'Connection: close'],
          ...[
            'Content-Type: application/json',
            `Content-Length: ${body.length}`,
            `X-Claude-Timestamp: ${at}`,
          ],
          ...pair.map((one) => `X-Claude-Signature: ${one}`),
        ],
        body,
      );
      expect(parseAnswer(answer)).toMatchObject({ status: 401, problem: { code: 'signature.invalid' } });
    }
    expect(door.executions.executed).toEqual([]);
  });

  it('with several secrets, one of them is enough; the answer to none is the same', async () => {
    await using door = await startDoor({
      settings: { serviceSecrets: [SECRET, OLD_SECRET, 'x'.repeat(32)] },
    });
    for (const secret of [SECRET, OLD_SECRET, 'x'.repeat(32)])
      expect(
        (await door.execute({ prompt: 'Hello' }, { secret, nonce: secret.slice(0, 3) })).statusCode,
      ).toBe(200);
    expect((await door.execute({ prompt: 'Hello' }, { secret: 'y'.repeat(32) })).statusCode).toBe(401);
  });
});

describe('sM2: a timestamp that is not now in milliseconds', () => {
  const NOW = 1_780_000_000_000;
  it.each([
    ['301 s old', String(NOW - 301_000), 'signature.expired'],
    ['301 s ahead', String(NOW + 301_000), 'signature.expired'],
    ['31 s old', String(NOW - 31_000), 'signature.expired'],
    ['31 s ahead', String(NOW + 31_000), 'signature.expired'],
    ['in seconds', String(NOW / 1000), 'signature.expired'],
    ['NaN', 'NaN', 'signature.invalid'],
    ['a float', `${NOW}.0`, 'signature.invalid'],
    ['negative', `-${NOW}`, 'signature.invalid'],
    ['in exponents', '1.78e12', 'signature.invalid'],
    ['empty', '', 'signature.invalid'],
  ])('%s, and signed: 401', async (_what, timestamp, code) => {
    await using door = await startDoor({ now: () => NOW });
    const payload = '{"prompt":"Hello"}';
    const headers = {
      ...originalHeaders(payload),
      [TIMESTAMP]: timestamp,
      [SIGNATURE]: hex(`${timestamp}:${payload}`),
    };
    const refused = await door.app.inject({ method: 'POST', url: '/execute', headers, payload });
    expect([refused.statusCode, refused.json()]).toEqual([
      401,
      { success: false, code, error: expect.any(String) },
    ]);
    expect([door.executions.executed, door.used.size]).toEqual([[], 0]);
  });

  it('within 30 s, in both directions: 200', async () => {
    await using door = await startDoor({ now: () => NOW });
    for (const now of [NOW - 30_000, NOW, NOW + 30_000])
      expect((await door.execute({ prompt: 'Hello' }, { now })).statusCode).toBe(200);
  });
});

describe('sM3: a signature that was accepted before', () => {
  it('401, in both schemes, on every route, and after a restart', async () => {
    const used = new Set<string>();
    const body = JSON.stringify({ prompt: 'Hello' });
    const executeHeaders = originalHeaders(body);
    let submitHeaders: Headers = {};
    const submission = aSubmission();
    {
      await using door = await startDoor({ used });
      await door.send('POST', '/v1/executions', submission, (headers) => {
        submitHeaders = headers;
        return headers;
      });
      const execute = () =>
        door.app.inject({ method: 'POST', url: '/execute', headers: executeHeaders, payload: body });
      expect((await execute()).statusCode).toBe(200);
      expect((await execute()).json()).toMatchObject({ success: false, code: 'signature.replayed' });
    }
    await using door = await startDoor({ used });
    const again = await door.app.inject({
      method: 'POST',
      url: '/execute',
      headers: executeHeaders,
      payload: body,
    });
    expect([again.statusCode, again.json().code]).toEqual([401, 'signature.replayed']);
    const resubmitted = await door.send('POST', '/v1/executions', submission, () => submitHeaders);
    expect([resubmitted.statusCode, resubmitted.json().code]).toEqual([401, 'signature.replayed']);
    expect(door.executions.executed).toEqual([]);
  });

  it('two copies that come together: one of them is accepted', async () => {
    await using door = await startDoor();
    const payload = JSON.stringify({ prompt: 'Hello' });
    const headers = originalHeaders(payload);
    const answers = await Promise.all(
      Array.from({ length: 5 }, () => door.app.inject({ method: 'POST', url: '/execute', headers, payload })),
    );
    expect(answers.map(({ statusCode }) => statusCode).sort()).toEqual([200, 401, 401, 401, 401]);
  });

  it('reads are accepted once, too', async () => {
    await using door = await startDoor();
    let signed: Headers = {};
    const list = (change: (headers: Headers) => Headers) =>
      door.send('GET', '/v1/executions', undefined, change);
    expect((await list((headers) => (signed = headers))).statusCode).toBe(200);
    expect((await list(() => signed)).json().code).toBe('signature.replayed');
  });

  it('when it cannot be remembered, nothing is done', async () => {
    const used = new Set<string>();
    used.add = () => {
      throw new AppError('store.unavailable', 'the disk is full');
    };
    await using door = await startDoor({ used });
    expect((await door.execute({ prompt: 'Hello' })).statusCode).toBe(503);
    expect(door.executions.executed).toEqual([]);
  });
});

describe('sM4: a signature of another request', () => {
  const signedFor = async (
    [method, url, body]: ['GET' | 'POST', string, unknown?],
    [otherMethod, otherUrl, otherBody]: ['GET' | 'POST' | 'HEAD', string, unknown?],
  ) => {
    await using door = await startDoor();
    await door.send('POST', '/v1/executions', aSubmission());
    // It was sent to a server that is away, and its headers were seen on the way.
    let seen: Headers = {};
    await using away = await startDoor();
    await away.send(method, url, body, (headers) => {
      seen = headers;
      return headers;
    });
    const answer = await door.send(otherMethod, otherUrl, otherBody, () => seen);
    return [answer.statusCode, otherMethod === 'HEAD' ? '' : answer.json().code];
  };
  const refused = [401, 'signature.invalid'];
  const cancel = { reason: 'cancelled', force: false };

  it('another method', async () => {
    expect(await signedFor(['GET', '/v1/executions'], ['HEAD', '/v1/executions'])).toEqual([401, '']);
  });

  it('another path', async () => {
    const other = '01ARZ3NDEKTSV4RRFFQ69G5FAW';
    expect(
      await signedFor(
        ['POST', `/v1/executions/${other}/cancel`, cancel],
        ['POST', `/v1/executions/${ID}/cancel`, cancel],
      ),
    ).toEqual(refused);
    expect(
      await signedFor(['POST', '/v1/executions', aSubmission()], ['POST', '/execute', aSubmission()]),
    ).toEqual(refused);
  });

  it('another query, and none', async () => {
    const events = `/v1/executions/${ID}/events`;
    expect(await signedFor(['GET', `${events}?after=1`], ['GET', `${events}?after=2`])).toEqual(refused);
    expect(await signedFor(['GET', `${events}?after=1`], ['GET', events])).toEqual(refused);
    expect(await signedFor(['GET', '/v1/executions'], ['GET', '/v1/executions?after=0'])).toEqual(refused);
  });

  it('one byte of the body', async () => {
    const text = JSON.stringify(aSubmission());
    const changed = text.replace('Where is', 'Where it');
    expect(await signedFor(['POST', '/v1/executions', text], ['POST', '/v1/executions', changed])).toEqual(
      refused,
    );
  });

  it('the same JSON with other bytes: reordered, or with a space', async () => {
    const submission = aSubmission();
    const reordered = JSON.stringify(Object.fromEntries(Object.entries(submission).reverse()));
    for (const body of [reordered, JSON.stringify(submission, null, 1)])
      expect(
        await signedFor(['POST', '/v1/executions', submission], ['POST', '/v1/executions', body]),
      ).toEqual(refused);
  });

  it("the original's scheme on our routes, and ours on the original's", async () => {
    await using door = await startDoor();
    const payload = JSON.stringify(aSubmission());
    const headers = originalHeaders(payload, { nonce: 'n' });
    const submitted = await door.app.inject({ method: 'POST', url: '/v1/executions', headers, payload });
    expect([submitted.statusCode, submitted.json().code]).toEqual(refused);
    const executed = await door.send('POST', '/execute', { prompt: 'Hello' });
    expect([executed.statusCode, executed.json().code]).toEqual(refused);
  });
});

describe('sM5: secrets that do not count', () => {
  it('one that was taken out of the settings: 401', async () => {
    await using door = await startDoor();
    expect((await door.execute({ prompt: 'Hello' }, { secret: OLD_SECRET })).statusCode).toBe(401);
    expect((await door.execute({ prompt: 'Hello' }, { secret: '' })).statusCode).toBe(401);
  });

  it('a door without a secret accepts nothing', async () => {
    await using door = await startDoor({ settings: { serviceSecrets: [] } });
    for (const secret of [SECRET, '', ' '])
      expect((await door.execute({ prompt: 'Hello' }, { secret })).statusCode).toBe(401);
    expect((await door.send('GET', '/v1/executions')).statusCode).toBe(401);
  });
});

describe('sM6: a body that is too large or too slow', () => {
  it('413 before the signature is looked at, with a length and without one', async () => {
    await using door = await startDoor({ http: { bodyLimitBytes: 1000 } });
    const large = await door.execute({ prompt: 'x'.repeat(1000) });
    expect([large.statusCode, large.json().code]).toEqual([413, 'request.too_large']);
    const url = await door.listen();
    const head = ['POST /execute HTTP/1.1', 'Host: localhost', 'Content-Type: application/json'];
    const chunk = `400\r\n${'x'.repeat(0x400)}\r\n`;
    const chunked = await rawRequest(
      url,
      [...head, 'Transfer-Encoding: chunked', 'Connection: close'],
      `${chunk}${chunk}0\r\n\r\n`,
    );
    expect(parseAnswer(chunked)).toMatchObject({ status: 413, problem: { code: 'request.too_large' } });
    const submitted = await door.send('POST', '/v1/executions', `"${'x'.repeat(4 * 1024 * 1024)}"`);
    expect([submitted.statusCode, submitted.json().code]).toEqual([413, 'request.too_large']);
    expect(door.used.size).toBe(0);
  });

  it('408 when it does not arrive in time', async () => {
    await using door = await startDoor({ http: { requestTimeoutMs: 100, headersTimeoutMs: 50 } });
    const url = await door.listen();
    const socket = await dial(url);
    const said = untilClosed(socket);
    const head = [
      'POST /execute HTTP/1.1',
      'Host: localhost',
      'Content-Type: application/json',
      'Content-Length: 100',
    ];
    socket.write(`${head.join('\r\n')}\r\n\r\n{"prompt":`);
    expect(parseAnswer(await said)).toMatchObject({ status: 408, problem: { code: 'request.timeout' } });
  });

  it('a body that nothing signed is not parsed', async () => {
    await using door = await startDoor();
    const payload = '{"prompt": not JSON';
    const headers = { ...originalHeaders(payload), [SIGNATURE]: hex('other') };
    const refused = await door.app.inject({ method: 'POST', url: '/execute', headers, payload });
    expect([refused.statusCode, refused.json().code]).toEqual([401, 'signature.invalid']);
    const parsed = await door.execute(payload);
    expect([parsed.statusCode, parsed.json().code]).toEqual([400, 'request.invalid']);
  });
});

it('a refusal says nothing but its code, is counted, and is logged without the secret', async () => {
  await using door = await startDoor();
  const answers = await Promise.all(
    [hex('a'), hex('b', OLD_SECRET), 'short'].map((signature) =>
      door.send('GET', '/v1/executions', undefined, (headers) => ({ ...headers, [SIGNATURE]: signature })),
    ),
  );
  const bodies = answers.map((answer) => ({ ...answer.json(), requestId: '' }));
  expect(bodies[1]).toEqual(bodies[0]);
  expect(bodies[2]).toEqual(bodies[0]);
  expect(answers[0]?.headers['www-authenticate']).toBe('HMAC-SHA256 realm="bullpen"');
  const metrics = await door.app.inject({ url: '/metrics' });
  expect(metrics.body).toContain('bullpen_executor_refused_signatures_total{code="signature.invalid"} 3');
  await eventually(() => expect(door.log.join('')).toContain('signature refused'));
  expect(door.log.join('')).not.toContain(SECRET);
});

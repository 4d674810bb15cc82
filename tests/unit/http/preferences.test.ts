import { expect, test } from 'vitest';
import { asAdmin, asCaller, startHttp } from './harness.ts';

const url = '/v1/me/preferences';

test('preferences are one object for each principal', async () => {
  await using http = await startHttp();
  const put = (headers: object, payload: object) =>
    http.app.inject({ method: 'PUT', url, headers: { ...headers }, payload });
  const get = async (headers: object) => (await http.app.inject({ url, headers: { ...headers } })).json();
  expect(await get(asCaller)).toEqual({});
  expect((await put(asCaller, { theme: 'dark', columns: [1, { a: null }] })).json()).toMatchObject({
    theme: 'dark',
  });
  await put(asAdmin, { theme: 'light' });
  expect(await get(asCaller)).toEqual({ theme: 'dark', columns: [1, { a: null }] });
  await put(asCaller, {});
  expect([await get(asCaller), await get(asAdmin)]).toEqual([{}, { theme: 'light' }]);
  expect((await http.app.inject({ url })).statusCode).toBe(401);
});

test.each([
  ['[]', 400],
  ['"text"', 400],
  ['null', 400],
  ['{', 400],
  [JSON.stringify({ a: 'x'.repeat(16 * 1024) }), 413],
])('%.20s is refused and changes nothing', async (payload, status) => {
  await using http = await startHttp();
  const headers = { ...asCaller, 'content-type': 'application/json' };
  expect((await http.app.inject({ method: 'PUT', url, headers, payload })).statusCode).toBe(status);
  expect((await http.app.inject({ url, headers: asCaller })).json()).toEqual({});
});

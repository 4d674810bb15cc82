import { expect, test } from 'vitest';
import { createPreferences } from '../../../src/records/preferences.ts';
import { createNames } from '../../../src/redis/names.ts';
import { callerOf } from '../../fakes/principals.ts';
import { useTestRecords } from '../../helpers/redis-records.ts';

const server = useTestRecords();
const OWNER = callerOf('owner');

test.each([
  ['no JSON', ['SET', 'dark']],
  ['a cut text', ['SET', '{"theme":']],
  ['nothing', ['SET', '']],
  ['a list', ['SET', '["dark"]']],
  ['null', ['SET', 'null']],
  ['a number', ['SET', '1']],
  ['of another type', ['RPUSH', 'dark']],
] as const)(
  'what another client of Redis wrote and is %s counts as none, until the next write',
  async (_, [how, value]) => {
    const { prefix, requestChannel, responseChannel } = server.make();
    const names = createNames({ prefix, requestChannel, responseChannel });
    const preferences = createPreferences(server.redis, names);
    await server.redis.call(how, names.preferences(OWNER.id), value);
    expect(await preferences.read(OWNER)).toEqual({});
    await preferences.write(OWNER, { theme: 'dark' });
    expect(await preferences.read(OWNER)).toEqual({ theme: 'dark' });
  },
);

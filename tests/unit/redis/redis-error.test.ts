import { describe, expect, it } from 'vitest';
import { AppError } from '../../../src/errors.ts';
import { redisError } from '../../../src/redis/redis-error.ts';

const reply = (text: string): Error => Object.assign(new Error(text), { name: 'ReplyError' });

describe('an error of the Redis client', () => {
  it('is an outage when Redis cannot be reached, or would accept the same command later', () => {
    const outages = [
      new Error('Connection is closed.'),
      new Error('Command timed out'),
      reply("OOM command not allowed when used memory > 'maxmemory'. script: 1f, on @user_script:9."),
      reply('READONLY You can’t write against a read only replica.'),
      reply(
        'MISCONF Redis is configured to save RDB snapshots, but it’s currently unable to persist to disk.',
      ),
      reply('LOADING Redis is loading the dataset in memory'),
      reply('BUSY Redis is busy running a script.'),
      reply('MASTERDOWN Link with MASTER is down'),
      reply('CLUSTERDOWN The cluster is down'),
      reply('NOREPLICAS Not enough good replicas to write.'),
      reply('ERR max number of clients reached'),
    ].map(redisError);
    expect(outages.map(({ code }) => code)).toEqual(outages.map(() => 'redis.unavailable'));
    expect(outages[2]?.message).toBe('Redis is out of memory');
    expect(outages.every(({ retryAfterSeconds }) => retryAfterSeconds === 2)).toBe(true);
  });

  it('has the text of Redis when the same command would fail again', () => {
    for (const text of [
      'NOPERM this user has no permissions to run the ‘hget’ command',
      'WRONGPASS invalid username-password pair or user is disabled.',
      'NOAUTH Authentication required.',
      'WRONGTYPE Operation against a key holding the wrong kind of value',
      'ERR user_script:12: attempt to compare nil with number script: 1f, on @user_script:12.',
    ]) {
      const { code, message } = redisError(reply(text));
      expect([code, message]).toEqual(['redis.refused', `Redis refused a command: ${text}`]);
    }
  });

  it('is not translated twice', () => {
    const ours = new AppError('job.not_found', 'x');
    expect(redisError(ours)).toBe(ours);
  });
});

import { describe, expect, it } from 'vitest';
import { sharedDefinitions } from '../../../src/records/script-text.ts';

const SHARED = `
-- A comment that names all: key, now, clock, jobs.read, jobs.remove, OPTIONS, isLate.
local P = 'x'
local clock, zone = redis.call('TIME'), 0

local now = clock[1]
local function key(id) return P .. ':' .. id end
local OPTIONS = {
  'a', 'b',
}
local jobs = {}
-- Reads one.
function jobs.read(id)
  -- now
  return redis.call('HGETALL', key(id))
end

function jobs.remove(id) redis.call('DEL', key(id)) end
local function isLate(job)
  if job.due < now then
    return true
  end
end
`;
const textOf = (own: string): readonly string[] => sharedDefinitions(SHARED).textOf(own).split('\n');

describe('the text of a script', () => {
  it('is its own lines when it uses nothing', () => {
    expect(textOf("\n-- now\nlocal id = 'keys'\nreturn { id }\n")).toEqual([
      "local id = 'keys'",
      'return { id }',
    ]);
  });

  it('has what it uses before it, and what that uses, in the order of the files', () => {
    expect(textOf('return isLate({ due = 1 }) and key(2)')).toEqual([
      "local P = 'x'",
      "local clock, zone = redis.call('TIME'), 0",
      'local now = clock[1]',
      "local function key(id) return P .. ':' .. id end",
      ...['local function isLate(job)', '  if job.due < now then', '    return true', '  end', 'end'],
      'return isLate({ due = 1 }) and key(2)',
    ]);
  });

  it('has of a table the functions that it uses', () => {
    expect(textOf('return jobs.read(1)')).toEqual([
      ...["local P = 'x'", "local function key(id) return P .. ':' .. id end", 'local jobs = {}'],
      ...['function jobs.read(id)', "  return redis.call('HGETALL', key(id))", 'end'],
      'return jobs.read(1)',
    ]);
  });

  it('has a table or several variables as a whole', () => {
    expect(textOf('return OPTIONS[zone]')).toEqual([
      "local clock, zone = redis.call('TIME'), 0",
      ...['local OPTIONS = {', "  'a', 'b',", '}'],
      'return OPTIONS[zone]',
    ]);
  });

  it('finds a name in every place where Lua may use one', () => {
    for (const use of ['f(now)', 'a.b[now]', '-now', 'x.y.z == now', '{ now = now }', "'' .. now", '#now'])
      expect(textOf(`return ${use}`), use).toContain('local now = clock[1]');
  });
});

it.each(['redis.call()', 'now = 1', 'local later', 'if x then'])('%s is no definition', (line) => {
  expect(() => sharedDefinitions(`local P = 1\n${line}\n`)).toThrow(`no part of a definition: ${line}`);
});

/** What the tests of src/records/ports.ts use: the records, and what was published. */

import { expect } from 'vitest';
import { MAX_MESSAGE_BYTES, parseRequestMessage } from '../../../src/protocol/messages.ts';
import { parseResponseMessage } from '../../../src/protocol/response-bell.ts';
import type { Claim, Claimed, Claims, JobRecord } from '../../../src/records/ports.ts';
import type { TestRecords } from '../../helpers/redis-records.ts';

/** The records of one test, and the messages on its channels since its beginning. */
export interface Bench extends Omit<TestRecords, 'claimsOf'> {
  /** The claims of a node; `claim` also delivers what the node is given. */
  claimsOf(node: string, roots?: readonly string[]): BenchClaims;
  /** What a node claims now, and what it is given. */
  claimOnce(node: string, max: number, room?: Readonly<Record<string, number>>): Promise<Claimed>;
  /** The record; fails when there is none. */
  record(id: string): Promise<JobRecord>;
  /** Kinds of a job's events, in order. */
  kinds(id: string): Promise<readonly string[]>;
  /** All messages published on a channel until now. */
  published(channel: string): Promise<readonly string[]>;
  /** Starts hearing another channel. */
  follow(channel: string): Promise<void>;
  /** Checks what must hold at the end of every test. */
  verify(): Promise<void>;
}

export type BenchClaims = Omit<Claims, 'claim'> & {
  claim(max: number, room?: Readonly<Record<string, number>>): Promise<readonly Claim[]>;
};

let sync = 0;

export async function createBench(rpc: TestRecords): Promise<Bench> {
  const messages = new Map<string, string[]>();
  const arriving = new Map<string, () => void>();
  const stops: (() => Promise<void>)[] = [];

  async function follow(channel: string): Promise<void> {
    const list: string[] = [];
    messages.set(channel, list);
    const stop = await rpc.doorbells.listen(channel, (message) => {
      const arrived = arriving.get(message);
      if (arrived === undefined) list.push(message);
      else arrived();
    });
    stops.push(stop);
  }

  const bench: Bench = {
    ...rpc,
    claimOnce: (node, max, room) => rpc.claimsOf(node).claim(max, room),
    claimsOf: (node, roots) => ({
      ...rpc.claimsOf(node, roots),
      claim: (max, room) => rpc.claim(node, max, room, roots),
    }),
    follow,
    async record(id) {
      const record = await rpc.records.read(id);
      if (record === null) throw new Error(`there is no record of ${id}`);
      return record;
    },
    async kinds(id) {
      return (await rpc.records.events(id, 0, 100_000)).map(({ kind }) => kind);
    },
    async published(channel) {
      // Messages of one connection keep their order: what was published before this one has arrived
      // with it.
      sync += 1;
      const marker = `sync ${sync}`;
      const arrival = Promise.withResolvers<void>();
      arriving.set(marker, arrival.resolve);
      await rpc.doorbells.publish(channel, marker);
      await arrival.promise;
      return [...(messages.get(channel) ?? [])];
    },
    async verify() {
      const log = await rpc.log();
      for (const id of new Set(log.map((entry) => entry.slice(2)))) await verifyJob(rpc, id, log);
      const [requests, responses] = await Promise.all([
        bench.published(rpc.requestChannel),
        bench.published(rpc.responseChannel),
      ]);
      for (const message of requests) {
        expect(parseRequestMessage(message).kind, message).toBe('bell');
        expect(Buffer.byteLength(message)).toBeLessThanOrEqual(MAX_MESSAGE_BYTES);
      }
      for (const message of responses) {
        if (!isRawAnswer(message)) expect(parseResponseMessage(message), message).not.toBeNull();
        expect(Buffer.byteLength(message)).toBeLessThanOrEqual(MAX_MESSAGE_BYTES);
      }
      for (const stop of stops) await stop();
    },
  };
  await follow(rpc.requestChannel);
  await follow(rpc.responseChannel);
  return bench;
}

/** One entry of the log for each revision, and events numbered from 1 without gaps. */
async function verifyJob(rpc: TestRecords, id: string, log: readonly string[]): Promise<void> {
  const record = await rpc.records.read(id);
  if (record === null) return;
  expect(log.filter((entry) => entry === `j ${id}` || entry === `c ${id}`)).toHaveLength(record.rev);
  const events = await rpc.records.events(id, 0, 100_000);
  expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
  expect(events).toHaveLength(record.lastSeq);
}

const isRawAnswer = (message: string): boolean => typeof JSON.parse(message).success === 'boolean';

/** The names by which a server is reached. */
import { BlockList, isIP } from 'node:net';

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

/** @param hostname as in a URL: an IPv6 address has brackets */
export function isLoopback(hostname: string): boolean {
  const address = hostname.replaceAll(/[[\]]/g, '');
  const version = isIP(address);
  if (version === 0) return address === 'localhost';
  return LOOPBACK.check(address, version === 4 ? 'ipv4' : 'ipv6');
}

/** The address to listen on as the host name of a URL: `::1` is `[::1]`, `127.1` is `127.0.0.1`. */
export function hostnameOf(host: string): string {
  return URL.parse(`http://${isIP(host) === 6 ? `[${host}]` : host}`)?.hostname ?? host.toLowerCase();
}

/** Whether a server that listens there is reached by every address of its machine. */
export const isEveryAddress = (hostname: string): boolean => ['0.0.0.0', '[::]'].includes(hostname);

/**
 * What this server is called. A page of another site can let its name point to this machine (DNS
 * rebinding); then a browser takes both for one origin. The Host header shows it.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';
import { hostnameOf, isEveryAddress, isLoopback } from '../config/hostnames.ts';

export interface OwnNames {
  /**
   * Whether a Host header names this server. Its port may be the one of a proxy or container.
   * @param localAddress the address of this machine that the caller is connected to, if known
   */
  knows(host: string, localAddress: string | undefined): boolean;
  /**
   * Whether a browser sent this request from a page of this server, so that its cookie may be used.
   * SameSite is not enough: a page on another port of localhost is the same site.
   *
   * Browsers send Origin with every request that changes something, and Sec-Fetch-Site in secure
   * contexts. Without both, only a request that changes nothing passes: an address typed into an
   * older browser, or curl.
   */
  isOwnPage(headers: IncomingHttpHeaders, changesNothing: boolean): boolean;
  /** Whether browsers shall use HTTPS alone; not for localhost, which other servers share. */
  readonly httpsOnly: boolean;
}

/**
 * The names are those of loopback, the host to listen on with its address, and the one of the
 * public address. A server that listens on every address also has each numeric one, because
 * rebinding needs a name.
 *
 * @param host address or name to listen on
 * @param publicUrl an origin; null: there is none
 */
export function createOwnNames(host: string, publicUrl: string | null): OwnNames {
  const listening = hostnameOf(host);
  const published = publicUrl === null ? null : new URL(publicUrl);
  const isOwnOrigin = (origin: string, hostHeader: string): boolean => {
    const url = URL.parse(origin);
    if (url === null || url.host === '') return false; // `null`, and malformed ones
    if (url.host === published?.host) return url.origin === published.origin;
    return url.host === hostHeader.toLowerCase();
  };
  return {
    knows(hostHeader, localAddress) {
      // Another character would make a part of it something else, for example a user name.
      const url = /^[\w.:[\]-]+$/.test(hostHeader) ? URL.parse(`http://${hostHeader}`) : null;
      if (url === null) return false;
      const { hostname } = url;
      if (isLoopback(hostname) || hostname === listening || hostname === published?.hostname) return true;
      // The address behind the name to listen on, by which the commands of this machine call.
      if (localAddress !== undefined && hostname === hostnameOf(localAddress)) return true;
      return isEveryAddress(listening) && isIP(hostname.replaceAll(/[[\]]/g, '')) !== 0;
    },
    isOwnPage(headers, changesNothing) {
      const { origin, host: hostHeader = '' } = headers;
      if (origin !== undefined) return isOwnOrigin(origin, hostHeader);
      const site = headers['sec-fetch-site'];
      if (site === undefined) return changesNothing;
      return site === 'same-origin' || (site === 'none' && changesNothing);
    },
    httpsOnly: published?.protocol === 'https:' && !isLoopback(published.hostname),
  };
}

/**
 * The best of `offers` (in the server's order of liking) for an Accept header, or null when none will do
 * (RFC 9110 §12.5.1). No header accepts everything.
 */
export function negotiate(accept: string | undefined, offers: readonly string[]): string | null {
  if (accept === undefined || accept.trim() === '') return offers[0] ?? null;
  const ranges = accept.split(',').map(parseRange);
  let best: string | null = null;
  let bestQuality = 0;
  for (const offer of offers) {
    const quality = qualityOf(offer, ranges);
    if (quality > bestQuality) {
      best = offer;
      bestQuality = quality;
    }
  }
  return best;
}

/** Whether a header names this very type; wildcards do not count. */
export function names(accept: string | undefined, type: string): boolean {
  return (accept ?? '').split(',').some((part) => {
    const range = parseRange(part);
    return range.type === type && range.quality > 0;
  });
}

interface Range {
  readonly type: string;
  readonly quality: number;
}

function parseRange(part: string): Range {
  const [type = '', ...params] = part.split(';').map((piece) => piece.trim().toLowerCase());
  const q = params.find((param) => param.startsWith('q='));
  const quality = q === undefined ? 1 : Number(q.slice(2));
  return { type, quality: quality >= 0 && quality <= 1 ? quality : 0 };
}

/** The quality of the most specific range that covers the offer. */
function qualityOf(offer: string, ranges: readonly Range[]): number {
  const group = `${offer.slice(0, offer.indexOf('/'))}/*`;
  for (const wanted of [offer, group, '*/*']) {
    const range = ranges.find(({ type }) => type === wanted);
    if (range !== undefined) return range.quality;
  }
  return 0;
}

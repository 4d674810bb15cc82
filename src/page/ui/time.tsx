/** A time, as long ago; the whole time is its title. */
import { formatAgo, formatTime } from '../format.ts';
import { useNow } from '../load.ts';

const MINUTE_MS = 60_000;

export function Ago({ at }: { readonly at: string }) {
  const isRecent = Date.now() - Date.parse(at) < MINUTE_MS;
  const now = useNow(isRecent ? 5000 : MINUTE_MS / 2);
  return (
    <time dateTime={at} title={formatTime(at)}>
      {formatAgo(at, now)}
    </time>
  );
}

/** The CLIs: installed or not, logged in or not, and what to do. */
import type { CredentialReport, ProviderReport } from '../../../protocol/server-info.ts';
import { formatNumber, formatTime } from '../../format.ts';
import { useLoad, usePoll } from '../../load.ts';
import { client, may } from '../../server.ts';
import { Button } from '../../ui/button.tsx';
import { Ago } from '../../ui/time.tsx';
import { act } from '../../ui/toast.tsx';
import { WhenLoaded } from './data-table.tsx';

const LOGINS = {
  yes: { look: 'good', text: 'logged in' },
  no: { look: 'bad', text: 'not logged in' },
  unknown: { look: '', text: 'login not known' },
} as const;
const CREDENTIALS = { ok: 'good', limited: 'warn', refused: 'bad', paused: 'warn' } as const;

export function ProvidersPart() {
  const loaded = useLoad((signal) => client.providers({ signal }), []);
  usePoll(loaded);
  const resume = (name: string) =>
    act(() => client.resumeProvider(name), `${name} may be used again`).then(loaded.reload);
  return (
    <WhenLoaded loaded={loaded}>
      {(providers) => (
        <ul class="provider-cards">
          {[...providers]
            .sort((a, b) => Number(b.available) - Number(a.available))
            .map((provider) => (
              <ProviderCard key={provider.name} provider={provider} resume={resume} />
            ))}
        </ul>
      )}
    </WhenLoaded>
  );
}

interface ProviderCardProps {
  readonly provider: ProviderReport;
  readonly resume: (credential: string) => unknown;
}

function ProviderCard({ provider, resume }: ProviderCardProps) {
  const { name, available, version, binary, authenticated, why, todo, fallback, credentials } = provider;
  const login = LOGINS[authenticated];
  return (
    <li class="card">
      <header>
        <h2>{name}</h2>
        {version !== null && <span class="soft number">{version}</span>}
        <span class="spread" />
        {available ? (
          <span class={`badge dot ${login.look}`}>{login.text}</span>
        ) : (
          <span class="badge dot">not installed</span>
        )}
      </header>
      <div class="inside stack">
        {why !== null && available && <p class="soft">{sentence(why)}</p>}
        {todo !== null && <p class={available ? 'notice warn' : 'soft'}>{withCode(sentence(todo))}</p>}
        {available && (
          <dl class="facts">
            <dt>Running</dt>
            <dd class="number">
              {formatNumber(provider.running)}
              {provider.concurrency !== null && ` of ${formatNumber(provider.concurrency)}`}
            </dd>
            {fallback !== null && (
              <>
                <dt>Fallback</dt>
                <dd>{fallback}</dd>
              </>
            )}
            {binary !== null && (
              <>
                <dt>Program</dt>
                <dd>
                  <code>{binary}</code>
                </dd>
              </>
            )}
          </dl>
        )}
        {available && credentials.length > 0 && (
          <ul class="credentials" aria-label={`Credentials of ${name}`}>
            {credentials.map((credential) => (
              <Credential key={credential.name} credential={credential} resume={resume} />
            ))}
          </ul>
        )}
      </div>
    </li>
  );
}

/** With the reader's own times. */
const sentence = (text: string): string =>
  `${text[0]?.toUpperCase() ?? ''}${text.slice(1)}`.replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, (at) =>
    formatTime(at),
  );

/** What is between backticks is typed. */
const withCode = (text: string) =>
  text.split('`').map((part, i) => (i % 2 === 0 ? part : <code key={part}>{part}</code>));

function Credential({
  credential: { name, status, limitedUntil },
  resume,
}: {
  readonly credential: CredentialReport;
  readonly resume: (name: string) => unknown;
}) {
  const isClosed = status === 'limited' || status === 'refused';
  return (
    <li class="row">
      <span class={`badge dot ${CREDENTIALS[status]}`}>{status}</span>
      <code class="clip">{name}</code>
      {isClosed && limitedUntil !== null && (
        <span class="soft">
          tries again <Ago at={limitedUntil} />
        </span>
      )}
      {isClosed && may('admin') && (
        <span class="spread">
          <Button small label={`Resume ${name}`} onPress={() => resume(name)}>
            Resume
          </Button>
        </span>
      )}
    </li>
  );
}

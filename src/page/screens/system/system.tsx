/** The server itself: what it runs, what it may use, and who may use it. */
import type { JSX } from 'preact';
import { useLayoutEffect, useRef } from 'preact/hooks';
import { useLoad, usePoll } from '../../load.ts';
import { client, may } from '../../server.ts';
import { Empty } from '../../ui/states.tsx';
import { AuditPart } from './audit.tsx';
import { KeysPart } from './keys.tsx';
import { NodesPart } from './nodes.tsx';
import { ProcessesPart } from './processes.tsx';
import { ProvidersPart } from './providers.tsx';
import { QueuePart } from './queue.tsx';
import { SettingsPart } from './settings.tsx';
import './system.css';

interface Part {
  readonly path: string;
  readonly name: string;
  readonly offered: boolean;
  readonly show: () => JSX.Element;
}

/** What the caller may not see is not offered. */
const parts = (): readonly Part[] =>
  [
    { path: 'providers', name: 'Providers', offered: true, show: () => <ProvidersPart /> },
    { path: 'nodes', name: 'Nodes', offered: may('admin'), show: () => <NodesPart /> },
    { path: 'processes', name: 'Processes', offered: may('admin'), show: () => <ProcessesPart /> },
    { path: 'queue', name: 'Queue', offered: may('jobs:read'), show: () => <QueuePart /> },
    { path: 'keys', name: 'Keys', offered: may('admin'), show: () => <KeysPart /> },
    { path: 'audit', name: 'Audit', offered: may('audit:read'), show: () => <AuditPart /> },
    { path: 'settings', name: 'Settings', offered: may('admin'), show: () => <SettingsPart /> },
  ].filter(({ offered }) => offered);

export function SystemScreen({ part }: { readonly part: string }) {
  const offered = parts();
  const shown = offered.find(({ path }) => path === (part === '' ? 'providers' : part));
  return (
    <div class="stack">
      <header class="head system-head">
        <h1>System</h1>
        <ReadinessBadge />
        <Links />
      </header>
      <nav class="tabs" aria-label="Parts of the system">
        {offered.map(({ path, name }) => (
          <Tab key={path} path={path} isShown={path === shown?.path}>
            {name}
          </Tab>
        ))}
      </nav>
      {shown?.show() ?? (
        <Empty title="There is no such part, or you may not see it">
          <a class="button" href="/system">
            To the providers
          </a>
        </Empty>
      )}
    </div>
  );
}

interface TabProps {
  readonly path: string;
  readonly isShown: boolean;
  readonly children: string;
}

/** The one that is shown is in sight, also where not all have room. */
function Tab({ path, isShown, children }: TabProps) {
  const link = useRef<HTMLAnchorElement>(null);
  useLayoutEffect(() => {
    if (isShown) link.current?.scrollIntoView({ block: 'nearest', inline: 'center' });
  }, [isShown]);
  return (
    <a ref={link} href={`/system/${path}`} aria-current={isShown ? 'page' : undefined}>
      {children}
    </a>
  );
}

/** Whether the server takes jobs, and if not, why. */
function ReadinessBadge() {
  const loaded = useLoad((signal) => client.ready({ signal }), []);
  const { data, error } = loaded;
  usePoll(loaded);
  if (error !== null) return <span class="badge dot bad">does not answer</span>;
  if (data === null) return <span class="badge">…</span>;
  const wrong = Object.entries(data.checks).filter(([, { ok }]) => !ok);
  return (
    <>
      <span class={`badge dot ${data.ready ? (wrong.length === 0 ? 'good' : 'warn') : 'bad'}`} role="status">
        {data.ready ? 'ready' : 'not ready'}
      </span>
      {wrong.map(([name, { detail }]) => (
        <span key={name} class="soft">
          {name}: {detail ?? 'does not work'}
        </span>
      ))}
    </>
  );
}

const Links = () => (
  <span class="actions">
    <a class="button small" href="/docs">
      API
    </a>
    {may('metrics:read') && (
      <a class="button small" href="/metrics">
        Metrics
      </a>
    )}
    {may('admin') && (
      <a class="button small" href="/admin/queues">
        Bull Board
      </a>
    )}
  </span>
);

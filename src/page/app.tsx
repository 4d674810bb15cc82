/** The frame: places on the left, or below on a phone, and the screen that the address names. */

import { useSyncExternalStore } from 'preact/compat';
import { useEffect, useRef, useState } from 'preact/hooks';
import { useLoad } from './load.ts';
import { go, type Route, useRoute } from './router.ts';
import { InboxScreen } from './screens/inbox/inbox.tsx';
import { concernsWaiting, waitingForYou } from './screens/inbox/waiting.ts';
import { JobScreen } from './screens/job/job.tsx';
import { BatchScreen } from './screens/jobs/batch.tsx';
import { JobsScreen } from './screens/jobs/jobs.tsx';
import { NewJobScreen } from './screens/jobs/new-job.tsx';
import { SessionScreen } from './screens/sessions/session.tsx';
import { SessionsScreen } from './screens/sessions/sessions.tsx';
import { SystemScreen } from './screens/system/system.tsx';
import { UsageScreen } from './screens/usage/usage.tsx';
import { connectionState, followLogin, may, me, onConnectionState } from './server.ts';
import { chosenTheme, showTheme, type Theme } from './theme.ts';
import { useTitle, useWaitingTitle } from './title.ts';
import { Boundary } from './ui/boundary.tsx';
import { Button } from './ui/button.tsx';
import { Icon } from './ui/icons.tsx';
import { Keys, useKeys } from './ui/keys.tsx';
import { Empty, Failure, Loading } from './ui/states.tsx';
import { failed, Toasts } from './ui/toast.tsx';

interface Place {
  readonly href: string;
  readonly name: string;
  readonly icon: Parameters<typeof Icon>[0]['name'];
  readonly key: string;
  readonly offered: boolean;
}

const places = (): readonly Place[] => {
  const all: readonly Place[] = [
    { href: '/', name: 'Inbox', icon: 'inbox', key: 'i', offered: may('jobs:read') || may('approvals:read') },
    { href: '/jobs', name: 'Jobs', icon: 'jobs', key: 'j', offered: may('jobs:read') },
    { href: '/sessions', name: 'Sessions', icon: 'sessions', key: 's', offered: may('sessions:read') },
    { href: '/usage', name: 'Usage', icon: 'usage', key: 'u', offered: may('usage:read') },
    { href: '/system', name: 'System', icon: 'system', key: 'y', offered: true },
  ];
  return all.filter(({ offered }) => offered);
};

export function Page() {
  const route = useRoute();
  const offered = places();
  useKeys(offered.map(({ href, name, key }) => ({ keys: `g ${key}`, does: name, act: () => go(href) })));
  useKeys(may('jobs:write') ? [{ keys: 'c', does: 'new job', act: () => go('/jobs/new') }] : []);
  useEffect(followLogin, []);
  const waiting = useLoad(waitingForYou, [], concernsWaiting);
  useWaitingTitle(waiting.data?.count ?? '');
  const screen = screenOf(route);
  const main = useRef<HTMLElement>(null);
  // Where the focus has gone with what had it, the keyboard goes on in the new screen.
  useEffect(() => {
    if (document.activeElement === document.body) main.current?.focus({ preventScroll: true });
  }, [screen]);
  return (
    <>
      <div class="shell">
        <a class="button skip" href="#screen">
          Skip to the content
        </a>
        <nav class="side" aria-label="Places">
          <a class="brand" href="/">
            <img src="/assets/icon.svg" width="22" height="22" alt="" />
            Bullpen
          </a>
          {offered.map(({ href, name, icon }) => (
            <a key={href} class="place" href={href} aria-current={isAt(route, href) ? 'page' : undefined}>
              <Icon name={icon} />
              {name}
              {href === '/' && (waiting.data?.count ?? '') !== '' && (
                <span class="count number">
                  {waiting.data?.count}
                  <span class="visually-hidden"> waiting for you</span>
                </span>
              )}
            </a>
          ))}
          <Account />
        </nav>
        <main ref={main} class="main" id="screen" tabIndex={-1}>
          <Boundary key={screen}>
            <Screen route={route} waiting={waiting} />
          </Boundary>
          {/* On a phone the places have no room for it. */}
          {route.path.startsWith('/system') && <Account />}
        </main>
      </div>
      <Away />
      <Toasts />
      <Keys />
    </>
  );
}

/** Each place is a screen of its own; terminals stay open while others are put beside them. */
const screenOf = ({ path }: Route): string => (path.startsWith('/terminals') ? '/terminals' : path);

/** `/batches` belongs to the jobs, `/terminals` to the sessions. */
function isAt({ path }: Route, href: string): boolean {
  const noun = path.split('/')[1] ?? '';
  const place = { batches: 'jobs', terminals: 'sessions' }[noun] ?? noun;
  return `/${place}` === href;
}

/** How a screen is named that has no name of its own. */
function nameOf({ path }: Route): string {
  if (path === '/') return '';
  if (path === '/jobs/new') return 'New job';
  const noun = path.split('/')[1] ?? '';
  return `${noun[0]?.toUpperCase() ?? ''}${noun.slice(1)}`;
}

type Waiting = Parameters<typeof InboxScreen>[0]['waiting'];

function Screen({ route, waiting }: { readonly route: Route; readonly waiting: Waiting }) {
  useTitle(nameOf(route));
  const [, noun = '', id, ...rest] = route.path.split('/');
  if (noun === '') return <InboxScreen waiting={waiting} />;
  if (noun === 'jobs' && id === undefined) return <JobsScreen />;
  if (noun === 'jobs' && id === 'new' && may('jobs:write')) return <NewJobScreen />;
  if (noun === 'jobs' && id === 'new') return <Empty title="Your key makes no jobs" />;
  if (noun === 'jobs' && id !== undefined && rest.length === 0) return <JobScreen id={id} />;
  if (noun === 'batches' && id !== undefined && rest.length === 0) return <BatchScreen id={id} />;
  if (noun === 'sessions' && id === undefined) return <SessionsScreen />;
  if (noun === 'sessions' && id !== undefined && rest.length === 0) return <SessionScreen key={id} id={id} />;
  if (noun === 'terminals') return <Terminals />;
  if (noun === 'usage' && id === undefined) return <UsageScreen />;
  if (noun === 'system' && rest.length === 0) return <SystemScreen part={id ?? ''} />;
  return (
    <Empty title="There is no such page">
      <a class="button" href="/">
        To the inbox
      </a>
    </Empty>
  );
}

/** xterm.js is loaded with the first terminal only. */
function Terminals() {
  const loaded = useLoad(() => import('./screens/terminals/terminals.tsx'), []);
  if (loaded.error !== null) return <Failure error={loaded.error} retry={() => location.reload()} />;
  if (loaded.data === null) return <Loading />;
  return <loaded.data.TerminalsScreen />;
}

const NEXT_THEME: Readonly<Record<Theme, Theme>> = { system: 'light', light: 'dark', dark: 'system' };

/** Who uses the page, its theme, and the way out. */
function Account() {
  const [theme, setTheme] = useState(chosenTheme);
  const next = (): void => {
    showTheme(NEXT_THEME[theme]);
    setTheme(NEXT_THEME[theme]);
  };
  return (
    <div class="account">
      <span class="who clip" title={me().principal}>
        {me().principal}
      </span>
      <div class="row">
        <Button small look="plain" onPress={next}>
          Theme: {theme}
        </Button>
        <Button small look="plain" onPress={logOut}>
          Log out
        </Button>
      </div>
      <span class="who">
        <kbd>?</kbd> for keys
      </span>
    </div>
  );
}

async function logOut(): Promise<void> {
  const answer = await fetch('/logout', { method: 'POST' }).catch(() => null); // the server is away
  if (answer?.ok !== true) return failed(new Error('The server did not log you out. Try again.'));
  sessionStorage.clear();
  location.assign('/login');
}

/** Says that the server is away; what is on the screen stays. */
function Away() {
  const state = useSyncExternalStore(onConnectionState, connectionState);
  if (state === 'connected' || state === 'connecting') return null;
  return (
    <div class="away" role="status">
      The server is away. The page goes on when it is back.
    </div>
  );
}

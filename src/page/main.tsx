/** The page: who uses it, then what it shows. */
// Before the screens, whose own styles come after these.
import './styles/design.css';
import './styles/parts.css';
import './styles/shell.css';
import { render } from 'preact';
import { Page } from './app.tsx';
import { followLinks } from './router.ts';
import { followChanges, identify, isUnauthenticated, toLogin } from './server.ts';
import { showTheme } from './theme.ts';
import { Failure } from './ui/states.tsx';

const place = document.getElementById('page') ?? document.body;
const RETRY_MS = 2000;

const LOGIN = /^#login=(.+)$/;

showTheme();
if (await logIn()) await begin();

/**
 * Logs in with the code of a link that `bullpen open` has made. The code leaves the address first.
 * Returns false where the login page is shown instead.
 */
async function logIn(): Promise<boolean> {
  const link = LOGIN.exec(location.hash)?.[1];
  if (link === undefined) return true;
  const here = location.pathname + location.search;
  history.replaceState(null, '', here);
  const answer = await fetch('/login', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ link }),
  }).catch(() => null); // the server is away: what follows says so
  if (answer === null || answer.ok) return true;
  location.assign(`/login?refused=link&next=${encodeURIComponent(here)}`);
  return false;
}

async function begin(): Promise<void> {
  try {
    await identify();
  } catch (error) {
    if (isUnauthenticated(error)) return toLogin();
    render(<Failure error={error} retry={() => location.reload()} />, place);
    setTimeout(() => void begin(), RETRY_MS);
    return;
  }
  followLinks();
  render(<Page />, place);
  await followChanges();
}

import type { Principal } from '../../src/auth/principal.ts';
import type { Health } from '../../src/http/ports.ts';
import type { ProviderReport } from '../../src/protocol/server-info.ts';

/** The Health port with answers a test can change. */
export class FakeHealth implements Health {
  ready = true;
  healthy = true;

  async readiness() {
    const redis = { ok: this.ready, detail: this.ready ? null : 'cannot be reached' };
    return { ready: this.ready, degraded: false, checks: { redis, store: { ok: true, detail: null } } };
  }

  async executor() {
    return { healthy: this.healthy, mode: 'main-process' as const, pendingRequests: 3, running: 2, limit: 4 };
  }

  async metrics(): Promise<string> {
    return '# TYPE bullpen_up gauge\nbullpen_up 1\n';
  }

  readonly resumed: string[] = [];

  async resumeProvider(_principal: Principal, name: string): Promise<number> {
    this.resumed.push(name);
    return 1;
  }

  async providers(): Promise<readonly ProviderReport[]> {
    return [
      {
        name: 'claude',
        available: true,
        version: '2.1.0',
        binary: '/usr/bin/claude',
        authenticated: 'unknown',
        why: null,
        todo: null,
        credentials: [{ name: 'claude:work', status: 'limited', limitedUntil: '2026-01-01T00:01:00.000Z' }],
        running: 1,
        concurrency: 2,
        fallback: null,
        capabilities: { resume: true },
      },
    ];
  }
}

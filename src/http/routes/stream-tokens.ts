import { Type } from 'typebox';
import { type StreamTickets, TICKET_LIFETIME_MS } from '../../auth/stream-tickets.ts';
import { closed } from '../../protocol/schema.ts';
import { answer, errorAnswers } from '../answers.ts';
import { type HttpApp, principalOf } from '../http-app.ts';
import { jobIdOf } from '../job-id.ts';
import type { Jobs } from '../ports.ts';

const Body = Type.Object({ jobId: Type.String({ description: 'ULID of a job' }) }, closed);
const Ticket = Type.Object({
  ticket: Type.String(),
  expiresAt: Type.String(),
  url: Type.String({ description: 'the events of the job, with the ticket' }),
});

/** `POST /v1/stream-tokens`: a ticket for one job's events, for an EventSource. */
export function streamTokensRoute(app: HttpApp, jobs: Jobs, tickets: StreamTickets): void {
  app.post(
    '/v1/stream-tokens',
    {
      schema: {
        tags: ['events'],
        summary: "A ticket to one job's events, for a browser",
        description: `Good for ${TICKET_LIFETIME_MS / 1000} s, also for reconnects within them.`,
        querystring: Type.Object({}, closed),
        body: Body,
        response: {
          201: answer('The ticket', { 'application/json': Ticket }),
          ...errorAnswers('auth.unauthenticated', 'job.not_found'),
        },
      },
    },
    async (request, reply) => {
      const principal = principalOf(request);
      const job = await jobs.get(principal, jobIdOf({ id: request.body.jobId }));
      const { ticket, expiresAt } = tickets.issue({ jobId: job.id, principal });
      const url = `${job.links.events}?ticket=${encodeURIComponent(ticket)}`;
      return reply.code(201).send({ ticket, expiresAt, url });
    },
  );
}

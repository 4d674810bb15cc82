import { AppError } from '../../errors.ts';
import { type Board, type BoardSources, createBoard } from '../board.ts';
import type { HttpApp } from '../http-app.ts';
import { takeOver } from '../raw-answer.ts';

export const BOARD_PATH = '/admin/queues';

/**
 * `/admin/queues`: Bull Board for admins, to look at only. It is built at the first look: until then it costs
 * neither time nor memory. All its paths lie behind these two routes, so nothing of it can miss the login.
 */
export function boardRoutes(app: HttpApp, sources: BoardSources): void {
  let board: Promise<Board> | null = null;
  const open = (): Promise<Board> => {
    board ??= createBoard(sources, BOARD_PATH, app.log).catch((error: unknown) => {
      board = null;
      throw error;
    });
    return board;
  };

  for (const url of [BOARD_PATH, `${BOARD_PATH}/*`]) {
    app.all(
      url,
      { config: { access: 'admin', page: true, produces: ['*'] }, schema: { hide: true } },
      async (request, reply) => {
        if (request.method !== 'GET' && request.method !== 'HEAD') {
          reply.header('allow', 'GET, HEAD');
          throw new AppError('request.method_not_allowed', 'the board is read-only');
        }
        const { show } = await open();
        show(request.raw, takeOver(reply));
      },
    );
  }
  app.addHook('onClose', async () => (await board)?.close());
}

import { DEFAULT_PROJECT } from '../protocol/project.ts';

/** A caller. What it makes belongs to its project; `id` says who acted. */
export interface Principal {
  readonly id: string;
  readonly project: string;
  /** It may do everything, in every project. */
  readonly admin: boolean;
}

/** The principal of the admin token. */
export const ADMIN_PRINCIPAL: Principal = { id: 'admin', project: DEFAULT_PROJECT, admin: true };

/** Who makes the jobs of raw requests from the requests channel. It has no rights over HTTP. */
export const RAW_PRINCIPAL: Principal = { id: 'raw', project: DEFAULT_PROJECT, admin: false };

/** Whether a principal may see and change what belongs to a project; null: not known. */
export const maySee = (principal: Principal, project: string | null): boolean =>
  principal.admin || principal.project === project;

/** The only project whose jobs a principal sees; null: it sees every project. */
export const projectOf = ({ admin, project }: Principal): string | null => (admin ? null : project);

/** Whether a principal may know of a gate: those of other projects are hidden. */
export const maySeeGate = (principal: Principal, gate: string): boolean =>
  !gate.startsWith('project:') || maySee(principal, gate.slice('project:'.length));

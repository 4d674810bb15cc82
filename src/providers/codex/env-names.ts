/**
 * The server's variables the codex CLI may see: its login, its folder, proxies and certificates.
 * https://developers.openai.com/codex
 */
export const CODEX_ENV_NAMES: readonly string[] = [
  'CODEX_API_KEY',
  'CODEX_ACCESS_TOKEN',
  'OPENAI_API_KEY',
  'OPENAI_ORGANIZATION',
  'OPENAI_PROJECT',
  'CODEX_HOME',
  'RUST_LOG',

  'HTTP_PROXY',
  'HTTPS_PROXY',
  'NO_PROXY',
  'ALL_PROXY',
  'http_proxy',
  'https_proxy',
  'no_proxy',
  'all_proxy',
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
  'CODEX_CA_CERTIFICATE',
];

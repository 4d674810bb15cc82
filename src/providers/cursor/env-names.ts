/**
 * The server's variables cursor-agent may see: its login, its folder, proxies and certificates.
 * https://cursor.com/docs/cli/reference/configuration
 */
export const CURSOR_ENV_NAMES: readonly string[] = [
  'CURSOR_API_KEY',
  'CURSOR_CONFIG_DIR',

  'HTTP_PROXY',
  'HTTPS_PROXY',
  'NO_PROXY',
  'ALL_PROXY',
  'http_proxy',
  'https_proxy',
  'no_proxy',
  'all_proxy',
  'NODE_USE_ENV_PROXY',
  'NODE_EXTRA_CA_CERTS',
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
];

// What the linter asks for. Formatting is prettier's; these rules are about promises that nobody awaits, switches
// that forget a case, and actors that reach past their ports.
import tseslint from 'typescript-eslint'
import { root } from './lib/root.mjs'

const notThroughPorts = [
  'net',
  'tls',
  'dgram',
  'fs',
  'fs/promises',
  'child_process',
  'timers',
  'timers/promises',
  'worker_threads',
]

const testPromises = [{ from: 'package', package: '@tapjs/core', name: 'PromiseWithSubtest' }]

const forEveryFile = {
  eqeqeq: ['error', 'always'],
  'no-console': 'error',
  'no-constant-condition': ['error', { checkLoops: false }],
  'no-control-regex': 'error',
  'no-debugger': 'error',
  'no-duplicate-case': 'error',
  'no-empty': 'error',
  'no-fallthrough': 'error',
  'no-promise-executor-return': 'off',
  'no-unreachable': 'error',
  'no-unsafe-finally': 'error',
  'no-var': 'error',
  'object-shorthand': 'error',
  'prefer-const': 'error',
}

const forTypeScript = {
  '@typescript-eslint/await-thenable': 'error',
  '@typescript-eslint/ban-ts-comment': ['error', { 'ts-expect-error': 'allow-with-description' }],
  '@typescript-eslint/consistent-type-imports': 'error',
  '@typescript-eslint/no-array-delete': 'error',
  '@typescript-eslint/no-base-to-string': 'error',
  '@typescript-eslint/no-explicit-any': 'error',
  '@typescript-eslint/no-floating-promises': ['error', { ignoreVoid: true }],
  '@typescript-eslint/no-for-in-array': 'error',
  '@typescript-eslint/no-misused-promises': ['error', { checksVoidReturn: { arguments: false } }],
  '@typescript-eslint/no-unsafe-function-type': 'error',
  '@typescript-eslint/no-unused-expressions': 'error',
  '@typescript-eslint/no-unused-vars': [
    'error',
    { argsIgnorePattern: '^_', varsIgnorePattern: '^_', ignoreRestSiblings: true },
  ],
  '@typescript-eslint/only-throw-error': 'error',
  '@typescript-eslint/prefer-promise-reject-errors': 'error',
  '@typescript-eslint/restrict-plus-operands': 'error',
  '@typescript-eslint/return-await': ['error', 'error-handling-correctness-only'],
  '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
}

const typeScript = (files, extra = {}) => ({
  files,
  plugins: { '@typescript-eslint': tseslint.plugin },
  languageOptions: {
    parser: tseslint.parser,
    parserOptions: { project: './.tools/tsconfig.lint.json', tsconfigRootDir: root },
  },
  rules: { ...forEveryFile, ...forTypeScript, ...extra },
})

export default [
  { ignores: ['**/dist/**', '**/node_modules/**', '.tap/**', 'docs/**', 'coverage/**'] },
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  { files: ['**/*.mjs', '**/*.js'], rules: forEveryFile },
  typeScript(['packages/*/src/**/*.ts']),
  // tap itself waits for the tests that t.test(…) starts.
  typeScript(['packages/*/test/**/*.ts', 'test/**/*.ts'], {
    '@typescript-eslint/no-base-to-string': 'off',
    '@typescript-eslint/no-floating-promises': ['error', { allowForKnownSafePromises: testPromises }],
  }),
  typeScript(['examples/**/*.ts'], { 'no-console': 'off' }),
  // The command line prints; that is what it is for.
  {
    files: ['.tools/**', '.dependency-cruiser.mjs', 'packages/cli/**', 'test/bench/**', 'examples/**'],
    rules: { 'no-console': 'off' },
  },
  {
    // Time, chance, network and disk come in as ports, so that the simulation can own them.
    files: [
      'packages/*/src/**/*.machine.ts',
      'packages/*/src/**/*.actor.ts',
      'packages/{messages,sql,fts}/src/**/*.ts',
    ],
    rules: {
      'no-restricted-globals': ['error', 'setTimeout', 'setInterval', 'clearTimeout', 'clearInterval'],
      'no-restricted-properties': [
        'error',
        { object: 'Date', property: 'now', message: 'Ask the clock port.' },
        { object: 'Math', property: 'random', message: 'Ask the randomness port.' },
        { object: 'performance', property: 'now', message: 'Ask the clock port.' },
      ],
      'no-restricted-imports': [
        'error',
        { paths: notThroughPorts.flatMap((name) => [restricted(name), restricted(`node:${name}`)]) },
      ],
    },
  },
]

function restricted(name) {
  return { name, message: 'Reach the world through a port.' }
}

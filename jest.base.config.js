// What every run of jest has in common.
/** @type {import('jest').Config} */
module.exports = {
  rootDir: '.',
  roots: ['<rootDir>/src', '<rootDir>/test'],
  testMatch: ['**/*.spec.ts'],
  testEnvironment: 'node',
  transform: {
    '^.+\\.[tj]s$': [
      'ts-jest',
      {
        tsconfig: {
          allowJs: true,
          isolatedModules: true,
          module: 'commonjs',
          moduleResolution: 'node10',
          target: 'ES2022',
          lib: ['ES2024'],
          experimentalDecorators: true,
          emitDecoratorMetadata: true,
          esModuleInterop: true,
          sourceMap: true,
        },
      },
    ],
  },
  // What was chosen is loaded by import(), whose paths end as in the built tree.
  moduleNameMapper: { '^(\\.{1,2}/.+)\\.js$': '$1' },
  // These are published as ES modules only; the last one loads by import(), which jest has no way for.
  transformIgnorePatterns: [
    '/node_modules/(?!(jose|fast-check|pure-rand|chokidar|readdirp|@opentelemetry/otlp-exporter-base)/)',
  ],
};

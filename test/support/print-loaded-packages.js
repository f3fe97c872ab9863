// Preloaded by NODE_OPTIONS: when the process ends, it prints which packages it has loaded.
process.on('exit', () => {
  const packages = Object.keys(require.cache).map(
    (file) => /node_modules\/((@[^/]+\/)?[^/]+)/.exec(file)?.[1],
  );
  process.stderr.write(`loaded: ${[...new Set(packages)].join(' ')}\n`);
});

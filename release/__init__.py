"""What a release consists of, made from what Git has: wheel, sdist, locked requirements, SBOM and checksums."""

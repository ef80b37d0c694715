"""Images that explain: charts, contact sheets, comparisons, feature sheets, network diagrams."""

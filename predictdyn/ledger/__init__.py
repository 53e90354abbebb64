"""A ledger of forecasts: registered before, resolved by logs after, in a chain that no edit can pass unseen."""

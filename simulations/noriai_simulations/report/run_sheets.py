def write_run_sheets(result, path, language):
    path.write_text("")
